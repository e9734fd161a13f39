// The compare page keeps signal, axis, zoom and choices in its address, so that a link holds them.
(() => {
  const AXES = ["xaxis", "yaxis"];
  const parts = () => new URLSearchParams(window.location.search);

  const drawn = () => document.querySelector("#plot-compare .js-plotly-plot")?._fullLayout;

  // The zoom that a drag told: four bounds; "" where it was taken back; null where nothing was zoomed.
  const zoomOf = (told) => {
    if (!told) return null;
    if (AXES.some((axis) => told[`${axis}.autorange`])) return "";
    if (!AXES.some((axis) => `${axis}.range[0]` in told)) return null;
    return AXES.flatMap((axis) => drawn()[axis].range).map((bound) => Number(bound).toPrecision(5) / 1).join(",");
  };

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    compare: {
      draw: (figure) => {
        const bounds = (parts().get("zoom") || "").split(",").map(Number);
        if (figure && bounds.length === 4 && bounds.every(Number.isFinite)) {
          AXES.forEach((axis, at) =>
            Object.assign((figure.layout[axis] ||= {}), { range: bounds.slice(2 * at, 2 * at + 2), autorange: false }));
        }
        return figure || window.dash_clientside.no_update;
      },
      keep: (signal, axis, against, differences, relayout) => {
        const { triggered } = window.dash_clientside.callback_context;
        const query = parts();
        const asked = (what) => triggered.some(({ prop_id: id }) => what.test(id));
        // A zoom on a plot that is about to be drawn over another axis holds for none of the two.
        const current = drawn()?.uirevision === `${signal} ${axis}`;
        const zoom = asked(/^compare-(signal|axis)\./) ? "" : asked(/^plot-compare\./) && current ? zoomOf(relayout) : null;
        if (zoom !== null) query.delete("zoom");
        if (zoom) query.set("zoom", zoom);
        query.set("signal", signal);
        query.set("axis", axis);
        if (against !== query.get("run")) query.set("against", against);
        else query.delete("against");
        if (differences) query.delete("all");
        else query.set("all", "1");
        if (window.location.pathname.endsWith("/compare")) {
          window.history.replaceState(window.history.state, "", `${window.location.pathname}?${query}`);
        }
        return window.dash_clientside.no_update;
      },
    },
  });
})();
