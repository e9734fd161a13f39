// A run's page: plots that keep their zoom, and findings that show their window on the curves.
window.dash_clientside = Object.assign({}, window.dash_clientside, {
  run: {
    // Plotly would keep a zoom by itself (uirevision), but Dash draws a figure again right after a zoom,
    // and Plotly then takes the zoom for the figure's own: so it is carried over here.
    draw: (plots) =>
      window.dash_clientside.callback_context.outputs_list.map(({ id }) => {
        const figure = (plots || {})[id.replace("plot-", "")];
        if (!figure) return window.dash_clientside.no_update;
        const shown = document.querySelector(`#${id} .js-plotly-plot`)?._fullLayout;
        for (const axis of ["xaxis", "yaxis"]) {
          if (shown?.uirevision === figure.layout.uirevision && shown?.[axis]?.autorange === false) {
            Object.assign((figure.layout[axis] ||= {}), { range: [...shown[axis].range], autorange: false });
          }
        }
        return figure;
      }),
    window: (_findings, _whole, shown) => {
      const { triggered } = window.dash_clientside.callback_context;
      const [source] = triggered || [];
      if (!source || !source.value) return window.dash_clientside.no_update; // drawn anew, not clicked
      let chosen = null;
      document.querySelectorAll(".finding").forEach((button) => button.setAttribute("aria-pressed", "false"));
      if (source.prop_id !== "whole-run.n_clicks") {
        const id = JSON.parse(source.prop_id.slice(0, source.prop_id.lastIndexOf(".")));
        chosen = id.window.split(" ").map(Number);
        document.activeElement?.closest(".finding")?.setAttribute("aria-pressed", "true");
        const loss = document.getElementById("plot-loss-card");
        if (loss && loss.getBoundingClientRect().bottom < 200) loss.scrollIntoView({ block: "start" });
      }
      return JSON.stringify(chosen) === JSON.stringify(shown) ? window.dash_clientside.no_update : chosen;
    },
  },
});
