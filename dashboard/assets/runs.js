// The table of runs: how its cells look, and how a row opens its run.
// Values come from logs that strangers wrote: they only ever become text, never HTML.
(() => {
  const h = (...args) => window.React.createElement(...args);
  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});

  const icon = (name) => h("span", { className: `icon icon-${name}`, "aria-hidden": "true" });

  const none = () => h("span", { className: "quiet" }, "–");

  cells.Health = ({ data }) =>
    h("span", { className: `health health-${data.health}` }, icon(data.health), h("span", null, data.health));

  cells.RunName = ({ data }) => {
    const open = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      event.stopPropagation();
      window.openPage(data.href);
    };
    const cut = data.name.lastIndexOf("/");
    return h("div", { className: "two-lines", title: data.name },
      h("a", { href: data.href, onClick: open, className: "run-link" }, data.name.slice(cut + 1)),
      h("span", { className: "second-line" },
        h("span", { className: `activity activity-${data.activity}` }, data.activity),
        h("span", { className: "only-narrow" }, data.finding ? ` · ${data.finding}` : ""),
        cut > 0 && h("span", null, ` · ${data.name.slice(0, cut)}`)));
  };

  cells.Finding = ({ data }) =>
    h("div", { className: "two-lines", title: data.summary || data.finding },
      h("span", { className: data.summary ? "" : "wrapping" }, data.finding || none()));

  cells.Change = ({ data }) =>
    h("div", { className: "two-lines", title: data.more > 0 ? `${data.change}, and ${data.more} more with it` : data.change },
      h("span", { className: "change-short" }, data.change || none(),
        data.more > 0 && h("span", { className: "second-line number" }, ` +${data.more}`)));

  cells.Number = ({ data, colDef }) => h("span", { className: "number" }, data[`${colDef.field}_text`] || none());

  cells.Spark = ({ data }) => {
    const points = data.spark || [];
    if (points.length < 2) return none();
    const path = points.map(([x, y]) => `${(2 + x * 100).toFixed(1)},${(30 - y * 28).toFixed(1)}`).join(" ");
    return h("svg", { viewBox: "0 0 104 32", className: `spark spark-${data.health}`, role: "img", "aria-label": "training loss" },
      h("polyline", { points: path }));
  };

  const linkOf = (cell) => {
    const row = cell && cell.closest("#runs-grid .ag-row");
    return row && row.querySelector("a.run-link");
  };
  document.addEventListener("click", (event) => {
    const link = linkOf(event.target);
    if (link && !event.target.closest("a, [col-id=ag-Grid-SelectionColumn]") && String(window.getSelection()) === "") link.click();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.classList?.contains("ag-cell")) linkOf(event.target)?.click();
  });

  // A narrow window keeps health and name; the name's second line then tells the finding.
  const narrow = window.matchMedia("(max-width: 760px)");
  const wide = ["ag-Grid-SelectionColumn", "finding", "change", "spark", "train", "validation", "steps", "lr", "optimizer", "batch"];
  const grid = () => (document.querySelector("#runs-grid .ag-root") ? window.dash_ag_grid.getApi("runs-grid") : null);
  const fit = () => grid()?.setColumnsVisible(wide, !narrow.matches);
  narrow.addEventListener("change", fit);

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    runs: {
      filter: async (text) => {
        (await window.dash_ag_grid.getApiAsync("runs-grid")).setGridOption("quickFilterText", text || "");
        return window.dash_clientside.no_update;
      },
      compare: (rows) => {
        const chosen = (rows || []).slice(0, 10);
        const query = chosen.map(({ name }) => `run=${encodeURIComponent(name)}`).join("&");
        const ready = chosen.length > 1;
        return [
          ready ? `compare?${query}` : "compare",
          ready ? `Compare ${chosen.length} runs` : "Compare",
          ready ? "button" : "button button-off",
        ];
      },
      fit: async () => {
        await window.dash_ag_grid.getApiAsync("runs-grid");
        fit();
        return window.dash_clientside.no_update;
      },
    },
  });
})();
