// A run's page: a selected finding shows its window on the curves.
window.dash_clientside = Object.assign({}, window.dash_clientside, {
  run: {
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
