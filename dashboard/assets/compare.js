// The compare page keeps signal, axis, zoom and choices in its address, so that a link holds them.
(() => {
  const AXES = ["xaxis", "yaxis"];
  const parts = () => new URLSearchParams(window.location.search);

  // The zoom that a drag told: four bounds; "" where it was taken back; null where nothing was zoomed.
  const zoomOf = (told) => {
    if (!told) return null;
    if (AXES.some((axis) => told[`${axis}.autorange`])) return "";
    if (!AXES.some((axis) => `${axis}.range[0]` in told)) return null;
    const layout = document.querySelector("#plot-compare .js-plotly-plot")._fullLayout;
    return AXES.flatMap((axis) => layout[axis].range).map((bound) => Number(bound).toPrecision(5) / 1).join(",");
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
        const redrawn = triggered.some(({ prop_id: id }) => /^compare-(signal|axis)\./.test(id));
        const zoom = redrawn ? "" : zoomOf(relayout);
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
