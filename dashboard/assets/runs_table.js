// What of the runs is shown: the rows that the server sent, filtered by health, symptom and words, and in groups.
// What is chosen stands in the address, so that a link holds it.
(() => {
  const WORST_FIRST = ["critical", "warning", "unreadable", "reading", "healthy"];
  const NOT_TOLD = "not told";
  const HEAD_PX = 44;
  const chosen = { health: "", symptom: "", group: "", search: "" };
  const rows = new Map(); // name -> row, all there are
  let heads = new Map(); // the group's value -> the row that stands above it
  let told = new Map(); // the same -> how many of it are shown, by health
  let folded = new Set();
  let seen = new Map(); // setting -> value -> how many runs have it
  let titles = {};
  let ready = null; // the grid that was made ready for this; another page has another

  const grid = () => (document.querySelector("#runs-grid .ag-root") ? window.dash_ag_grid.getApi("runs-grid") : null);

  const isTold = (value) => value !== undefined && value !== null && value !== "";
  const shown = (value) => {
    if (!isTold(value)) return undefined;
    if (typeof value !== "number") return String(value);
    if (Number.isSafeInteger(value)) return value.toLocaleString("en");
    const size = Math.abs(value);
    if (size && (size < 1e-4 || size >= 1e6)) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
    return String(Number(value.toPrecision(3)));
  };
  // What is not told stands last, whichever way one sorts; run-2 stands before run-10.
  const inWords = new Intl.Collator("en", { numeric: true });
  const untoldLast = (a, b, _one, _other, descending) => {
    if (isTold(a) !== isTold(b)) return isTold(a) === descending ? 1 : -1;
    return typeof a === "number" && typeof b === "number" ? a - b : inWords.compare(a ?? "", b ?? "");
  };
  // All of a value's digits: two that are shown alike are still two.
  const exact = (value) => (isTold(value) ? String(value) : NOT_TOLD);
  const inGroup = (row) => exact(row.settings?.[chosen.group]);
  const labelOf = ({ group, value }) => {
    const alike = [...heads.values()].filter((head) => shown(head.value) === shown(value));
    return alike.length > 1 ? group : shown(value) ?? NOT_TOLD;
  };

  const matches = (row, but = "") =>
    (but === "health" || !chosen.health || row.health === chosen.health)
    && (but === "symptom" || !chosen.symptom || (row.symptoms || []).includes(chosen.symptom))
    && chosen.search.toLowerCase().split(/\s+/).every((word) => row.text.includes(word));

  const isHead = (data) => data?.group !== undefined;
  const passes = ({ data }) =>
    isHead(data) || (matches(data) && !(chosen.group && folded.has(inGroup(data))));

  // --- the address --------------------------------------------------------------------------------
  const readAddress = () => {
    const query = new URLSearchParams(window.location.search);
    for (const name of Object.keys(chosen)) chosen[name] = query.get(name) || "";
  };
  const writeAddress = () => {
    const query = new URLSearchParams(window.location.search);
    for (const [name, value] of Object.entries(chosen)) {
      query.delete(name);
      if (value) query.set(name, value);
    }
    const address = window.location.pathname + (query.size ? `?${query}` : "");
    if (address !== window.location.pathname + window.location.search) window.history.replaceState(window.history.state, "", address);
  };

  // --- rows in --------------------------------------------------------------------------------------
  const dressed = (row) => {
    row.order = `${row.rank} ${row.health} ${(1 - (row.confidence || 0)).toFixed(3)} ${row.activity === "live" ? 0 : 1} ${row.name}`;
    const settings = Object.entries(row.settings || {}).flatMap(([name, value]) => [`${name}=${exact(value)}`, `${name}=${shown(value)}`]);
    row.text = [row.name, row.health, row.activity, row.ended_by, row.finding, row.stage, row.change, ...settings].join(" ").toLowerCase();
    return row;
  };
  const count = (row, by) => {
    for (const [name, value] of Object.entries(row.settings || {})) {
      const values = seen.get(name) || seen.set(name, new Map()).get(name);
      const text = exact(value);
      values.set(text, (values.get(text) || 0) + by);
      if (values.get(text) === 0) values.delete(text);
    }
  };

  const apply = (api, news) => {
    const change = { add: [], update: [], remove: [] };
    const gone = news.whole ? [...rows.keys()] : news.gone;
    const kept = new Set(news.whole ? news.rows.map(({ name }) => name) : []);
    for (const row of news.rows) {
      const known = rows.get(row.name);
      if (known) count(known, -1);
      count(row, 1);
      rows.set(row.name, dressed(row));
      (api.getRowNode(row.name) ? change.update : change.add).push(row);
    }
    for (const name of gone) {
      if (!rows.has(name) || kept.has(name)) continue;
      count(rows.get(name), -1);
      rows.delete(name);
      if (api.getRowNode(name)) change.remove.push({ name });
    }
    const done = api.applyTransaction(change);
    // A cell shows more of a row than its own value, by which alone the grid knows what has changed.
    if (done?.update.length) api.refreshCells({ rowNodes: done.update, force: true });
  };

  // --- groups ---------------------------------------------------------------------------------------
  // AG Grid's own grouping is not part of its free edition: heads are rows as wide as the table, put before
  // their group's rows once these are sorted.
  const setHeads = (api) => {
    const wanted = new Map();
    if (chosen.group) {
      for (const row of rows.values()) {
        const group = inGroup(row);
        if (!wanted.has(group)) wanted.set(group, heads.get(group) || { name: `\u0000${chosen.group}\u0000${group}`, group, value: row.settings?.[chosen.group] });
      }
    }
    const before = [...heads.values()].filter((head) => wanted.get(head.group) !== head);
    const added = [...wanted.values()].filter((head) => heads.get(head.group) !== head);
    heads = wanted;
    if (before.length || added.length) api.applyTransaction({ add: added, remove: before });
  };
  const byValue = (a, b) => {
    if (isTold(a.value) !== isTold(b.value)) return isTold(a.value) ? -1 : 1;
    if (typeof a.value === "number" && typeof b.value === "number") return a.value - b.value;
    return a.group.localeCompare(b.group, "en", { numeric: true });
  };
  const arrange = ({ nodes }) => {
    if (!chosen.group) return;
    const members = new Map();
    const above = [];
    for (const node of nodes) {
      if (isHead(node.data)) above.push(node);
      else (members.get(inGroup(node.data)) || members.set(inGroup(node.data), []).get(inGroup(node.data))).push(node);
    }
    const some = above.filter(({ data }) => (folded.has(data.group) ? (told.get(data.group)?.total || 0) > 0 : members.has(data.group)));
    some.sort((a, b) => byValue(a.data, b.data));
    const arranged = some.flatMap((head) => [head, ...(members.get(head.data.group) || [])]);
    nodes.splice(0, nodes.length, ...arranged);
  };
  const countGroups = () => {
    told = new Map();
    if (!chosen.group) return;
    for (const row of rows.values()) {
      if (!matches(row)) continue;
      const label = inGroup(row);
      const one = told.get(label) || told.set(label, { total: 0, by: {} }).get(label);
      one.total += 1;
      one.by[row.health] = (one.by[row.health] || 0) + 1;
    }
  };

  // --- showing --------------------------------------------------------------------------------------
  const makeReady = (api) => {
    if (ready === api) return;
    ready = api;
    heads = new Map();
    rows.clear();
    seen = new Map();
    api.setGridOption("isFullWidthRow", ({ rowNode }) => isHead(rowNode.data));
    api.setGridOption("getRowHeight", ({ data }) => (isHead(data) ? HEAD_PX : undefined));
    api.setGridOption("alwaysPassFilter", ({ data }) => isHead(data));
    api.setGridOption("isExternalFilterPresent", () => true);
    api.setGridOption("doesExternalFilterPass", passes);
    api.setGridOption("postSortRows", arrange);
    api.addEventListener("modelUpdated", () => sizeToRows(api));
    window.runsView.start(api);
  };
  const sizeToRows = (api) => {
    const count = api.getDisplayedRowCount();
    const place = document.getElementById("runs-table");
    if (!place) return;
    place.style.setProperty("--rows", count);
    place.style.display = rows.size && count ? "" : "none";
    document.getElementById("runs-no-match").style.display = rows.size && !count ? "" : "none";
    document.getElementById("runs-none").style.display = rows.size ? "none" : "";
  };
  const show = () => {
    const api = grid();
    if (!api) return;
    countGroups();
    setHeads(api);
    api.onFilterChanged();
    api.refreshClientSideRowModel("sort");
    const above = [...heads.values()].map(({ name }) => api.getRowNode(name)).filter(Boolean);
    if (above.length) api.redrawRows({ rowNodes: above });
    sizeToRows(api);
    window.runsView.draw();
  };

  window.runsTable = {
    WORST_FIRST, chosen, shown, matches, untoldLast,
    get group() { return chosen.group; },
    get rows() { return rows; },
    get titles() { return titles; },
    // Settings that differ between runs, and all there are.
    differing: () => [...seen].filter(([, values]) => values.size > 1 || (values.size === 1 && [...values.values()][0] < rows.size)).map(([name]) => name).sort(),
    settings: () => [...seen].filter(([, values]) => values.size).map(([name]) => name).sort(),
    told: (group) => ({
      open: !folded.has(group),
      label: labelOf(heads.get(group) || { group }),
      total: told.get(group)?.total || 0,
      counts: WORST_FIRST.filter((word) => told.get(group)?.by[word]).map((word) => [word, told.get(group).by[word]]),
    }),
    fold: (group) => {
      if (!folded.delete(group)) folded.add(group);
      show();
    },
    choose: (change) => {
      if (change.group !== undefined && change.group !== chosen.group) folded = new Set();
      Object.assign(chosen, change);
      writeAddress();
      show();
    },
  };

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    runs: {
      take: async (news, words) => {
        const api = await window.dash_ag_grid.getApiAsync("runs-grid");
        if (ready !== api) readAddress();
        titles = words || {};
        makeReady(api);
        apply(api, news);
        show();
        return news.revision;
      },
      search: (text) => {
        if (document.getElementById("runs-grid")) window.runsTable.choose({ search: text || "" });
        return window.dash_clientside.no_update;
      },
      compare: (selected) => {
        const some = (selected || []).slice(0, 10);
        const query = some.map(({ name }) => `run=${encodeURIComponent(name)}`).join("&");
        const enough = some.length > 1;
        return [
          enough ? `compare?${query}` : "compare",
          enough ? `Compare ${some.length} runs` : "Compare",
          enough ? "button" : "button button-off",
        ];
      },
    },
  });
})();
