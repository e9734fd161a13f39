// The table of runs: how its cells look, and how a row opens its run.
// Values come from logs that strangers wrote: they only ever become text, never HTML.
(() => {
  const h = (...args) => window.React.createElement(...args);
  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});

  const icon = (name) => h("span", { className: `icon icon-${name}`, "aria-hidden": "true" });

  const none = () => h("span", { className: "quiet" }, "–");

  cells.Health = ({ data }) =>
    h("span", { className: `health health-${data.health}` }, icon(data.health), h("span", null, data.health));

  const MEANINGS = {
    stalled: "nothing was written of late, and the log was not closed: it hangs, or was killed",
    silent: "nothing was written for long; its writer does not mark where a log ends",
  };
  const activity = (data) =>
    h("span", { className: `activity activity-${data.activity}`, title: data.ended_by || MEANINGS[data.activity] }, data.activity);

  cells.Activity = ({ data }) => h("div", { className: "two-lines" }, activity(data), h("span", { className: "second-line", title: data.ended_by }, data.ended_by));

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
        activity(data),
        h("span", { className: "only-narrow" }, data.finding ? ` · ${data.finding}` : ""),
        cut > 0 && h("span", null, ` · ${data.name.slice(0, cut)}`)));
  };

  cells.Finding = ({ data }) =>
    h("div", { className: "two-lines", title: data.summary || data.finding },
      h("span", { className: data.summary ? "finding-short" : "wrapping" }, data.finding || none()),
      data.stage && h("span", { className: "second-line" }, data.stage));

  cells.Change = ({ data }) =>
    h("div", { className: "two-lines", title: data.more > 0 ? `${data.change}, and ${data.more} more with it` : data.change },
      h("span", { className: "change-short" }, data.change || none(),
        data.more > 0 && h("span", { className: "second-line number" }, ` +${data.more}`)));

  cells.Number = ({ data, value, colDef }) =>
    h("span", { className: "number" }, data[`${colDef.field}_text`] ?? window.runsTable.shown(value) ?? none());

  cells.Setting = ({ value }) => h("span", { className: "number setting" }, window.runsTable.shown(value) ?? none());

  cells.Progress = ({ data }) => {
    if (!data.progress_text) return none();
    const known = data.progress !== undefined;
    const told = known ? `${Math.floor(data.progress * 100)} %` : data.progress_text;
    return h("div", { className: "two-lines progress", title: data.progress_text },
      h("span", { className: "number" }, told, data.left && h("span", { className: "second-line" }, ` · ${data.left}`)),
      known
        ? h("span", { className: "bar", role: "img", "aria-label": data.progress_text },
            h("span", { className: `bar-done bar-${data.activity}`, style: { width: `${data.progress * 100}%` } }))
        : null);
  };

  // The curve's points are pairs of bytes in base64 (dashboard/sparks.py).
  const points = (curve) => {
    const bytes = window.atob(curve);
    const told = [];
    for (let at = 0; at + 1 < bytes.length; at += 2) {
      told.push(`${(2 + bytes.charCodeAt(at) * 86 / 255).toFixed(1)},${(26 - bytes.charCodeAt(at + 1) * 24 / 255).toFixed(1)}`);
    }
    return told.join(" ");
  };

  cells.Spark = ({ data, colDef }) => {
    const text = data[`${colDef.field}_text`];
    const curve = data[colDef.field === "train" ? "loss" : "validation_loss"];
    if (!curve && text === undefined) return none();
    return h("div", { className: "two-lines" },
      curve && h("svg", { viewBox: "0 0 90 28", className: `spark spark-${data.health}`, role: "img", "aria-label": `${colDef.headerName} over steps` },
        h("polyline", { points: points(curve) })),
      h("span", { className: "second-line number" }, text));
  };

  cells.GroupHead = ({ data, node }) => {
    const { open, counts, total, label } = window.runsTable.told(data.group);
    return h("button", { className: "group-head", "aria-expanded": open, onClick: () => window.runsTable.fold(data.group) },
      h("span", { className: `icon icon-${open ? "minus" : "plus"}`, "aria-hidden": "true" }),
      h("span", { className: "group-name" }, window.runsTable.group, ": ", h("strong", null, label)),
      h("span", { className: "quiet number" }, `${total.toLocaleString("en")} ${total === 1 ? "run" : "runs"}`),
      ...counts.map(([word, count]) =>
        h("span", { key: word, className: `count health-${word}` }, icon(word), h("strong", null, count), h("span", null, word))));
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
    if (event.key === "Enter" && event.target.classList?.contains("ag-row")) event.target.querySelector(".group-head")?.click();
  });
})();
