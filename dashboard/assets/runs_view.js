// The controls of the table of runs: the chips that count and filter, the grouping, the choice of columns.
// They are made here, as text and never as HTML, because what there is to choose comes with the rows.
(() => {
  const ALWAYS = ["critical", "warning", "healthy"];
  // { hidden: [column], shown: [column], narrow: [column], sort: [column and direction] }; a narrow window, where one
  // column more pushes another out, has a choice of its own.
  const KEPT = "diagnose-runs-columns";
  const NONE_KEPT = { hidden: [], shown: [], narrow: [], sort: [] };
  const HAVE_COLUMNS = ["lr", "optimizer", "batch_size"]; // settings that the server gave a column of their own
  const NARROW = ["order", "name"];
  const narrow = window.matchMedia("(max-width: 760px)");
  const table = () => window.runsTable;
  let api = null;
  let given = []; // the columns that the server gave; the first two, health and name, always stay
  let restoring = false;

  const make = (tag, attributes, ...children) => {
    const one = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) one.addEventListener(name.slice(2), value);
      else if (value !== undefined && value !== false) one.setAttribute(name, value === true ? "" : value);
    }
    one.append(...children.filter((child) => child !== null));
    return one;
  };
  const icon = (name) => make("span", { class: `icon icon-${name}`, "aria-hidden": "true" });

  // --- chips ----------------------------------------------------------------------------------------
  const chip = (kind, value, count, label, look, picture) => {
    const pressed = table().chosen[kind] === value;
    const choose = () => {
      table().choose({ [kind]: pressed ? "" : value });
      document.querySelector(`.chip[data-value="${CSS.escape(value)}"]`)?.focus(); // drawn anew, and still focused
    };
    return make("button",
      { type: "button", class: `chip count ${look}${count ? "" : " count-none"}`, "aria-pressed": String(pressed), "data-value": value, onclick: choose },
      picture, make("strong", {}, count.toLocaleString("en")), make("span", {}, label));
  };
  const drawChips = () => {
    const health = {};
    const symptoms = {};
    for (const row of table().rows.values()) {
      if (table().matches(row, "health")) health[row.health] = (health[row.health] || 0) + 1;
      if (table().matches(row, "symptom")) for (const name of row.symptoms || []) symptoms[name] = (symptoms[name] || 0) + 1;
    }
    const { chosen, titles, WORST_FIRST } = table();
    const words = WORST_FIRST.filter((word) => health[word] || ALWAYS.includes(word) || chosen.health === word);
    replace("runs-health", words.map((word) => chip("health", word, health[word] || 0, word, `health-${word}`, icon(word))));
    const names = Object.keys(symptoms);
    if (chosen.symptom && !symptoms[chosen.symptom]) names.push(chosen.symptom);
    names.sort((a, b) => (symptoms[b] || 0) - (symptoms[a] || 0) || a.localeCompare(b));
    replace("runs-symptoms", names.map((name) => chip("symptom", name, symptoms[name] || 0, titles[name] || name, "chip-symptom", null)));
  };
  const replace = (id, children) => document.getElementById(id)?.replaceChildren(...children);

  // --- grouping and columns -------------------------------------------------------------------------
  const stored = () => {
    try {
      const kept = JSON.parse(window.localStorage.getItem(KEPT));
      return { ...NONE_KEPT, ...(typeof kept === "object" ? kept : {}) };
    } catch { return NONE_KEPT; }
  };
  const read = () => ({ ...stored(), ...window.runsLink.read() });
  const keep = (change) => {
    const kept = { ...read(), ...change };
    try { window.localStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* storage is off */ }
    window.runsLink.write(kept);
  };
  const setting = (name) => ({
    colId: `setting:${name}`,
    headerName: name,
    width: 116,
    hide: true,
    cellRenderer: "Setting",
    valueGetter: ({ data }) => data?.settings?.[name],
    filter: [...table().rows.values()].some((row) => typeof row.settings?.[name] === "string") ? "agTextColumnFilter" : "agNumberColumnFilter",
  });
  const idOf = (column) => column.colId || column.field;
  const isShown = (column) => {
    const kept = read();
    if (narrow.matches) return NARROW.includes(idOf(column)) || kept.narrow.includes(idOf(column));
    return kept.shown.includes(idOf(column)) || (!column.hide && !kept.hidden.includes(idOf(column)));
  };
  // Columns of settings that are shown join those that the server gave.
  const setColumns = () => {
    const { shown, narrow: few } = read();
    const wanted = (narrow.matches ? few : shown).filter((id) => id.startsWith("setting:")).map((id) => setting(id.slice("setting:".length)));
    const columns = [...given, ...wanted].map((column) => ({
      ...column,
      comparator: table().untoldLast,
      hide: !isShown(column),
      sort: undefined, // what is sorted by stays as it is
    }));
    restoring = true;
    api.setGridOption("columnDefs", columns);
    api.setColumnsVisible(["ag-Grid-SelectionColumn"], !narrow.matches);
    restoring = false;
  };
  const setSort = () => {
    const { sort } = read();
    if (!sort.length) return;
    restoring = true;
    api.applyColumnState({ state: sort, defaultState: { sort: null } });
    restoring = false;
  };
  const toggle = (id, show) => {
    const { hidden, shown, narrow: few } = read();
    const without = (list) => list.filter((one) => one !== id);
    if (narrow.matches) keep({ narrow: show ? [...without(few), id] : without(few) });
    else keep({ hidden: show ? without(hidden) : [...without(hidden), id], shown: show ? [...without(shown), id] : without(shown) });
    setColumns();
  };

  const option = (value, label, chosen) => make("option", { value, selected: value === chosen }, label);
  const box = (id, label, checked) =>
    make("label", { class: "choice" },
      make("input", { type: "checkbox", ...(checked ? { checked: true } : {}), onchange: (event) => toggle(id, event.target.checked) }),
      make("span", {}, label));

  let drawn = "";
  const drawTools = () => {
    const { chosen } = table();
    const differing = table().differing();
    if (chosen.group && !differing.includes(chosen.group)) differing.push(chosen.group);
    const settings = table().settings().filter((name) => !HAVE_COLUMNS.includes(name));
    const state = JSON.stringify([chosen.group, differing, settings, narrow.matches]);
    const place = document.getElementById("runs-view");
    if (!place || (state === drawn && place.childElementCount)) return; // an open list of columns stays open
    drawn = state;
    const open = place.querySelector("details")?.open;
    const group = make("select", { "aria-label": "Group by", class: "group-by", onchange: (event) => table().choose({ group: event.target.value }) },
      option("", "No groups", chosen.group), ...differing.map((name) => option(name, `Group by ${name}`, chosen.group)));
    const columns = make("details", { class: "columns-menu", ...(open ? { open: true } : {}) },
      make("summary", { class: "button" }, "Columns"),
      make("div", { class: "menu" },
        make("fieldset", {}, make("legend", {}, "Columns"), ...given.slice(2).map((column) => box(idOf(column), column.headerName, isShown(column)))),
        settings.length
          ? make("fieldset", {}, make("legend", {}, "Settings"), ...settings.map((name) => box(`setting:${name}`, name, isShown(setting(name)))))
          : null));
    place.replaceChildren(group, columns);
  };
  document.addEventListener("click", (event) => {
    const menu = document.querySelector(".columns-menu[open]");
    if (menu && !menu.contains(event.target)) menu.open = false;
    if (event.target.closest?.("#runs-show-all")) {
      api?.setFilterModel(null);
      window.dash_clientside.set_props("runs-filter", { value: "" });
      table().choose({ health: "", symptom: "", search: "" });
    }
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector(".columns-menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

  narrow.addEventListener("change", () => document.querySelector("#runs-grid .ag-root") && api && (setColumns(), drawTools()));

  window.runsView = {
    start: (grid) => {
      api = grid;
      given = api.getColumnDefs().map(({ sort, sortIndex, ...column }) => column);
      drawn = "";
      setColumns();
      setSort();
      window.runsLink.write(read());
      window.runsLink.startFilters(api);
      api.addEventListener("sortChanged", () => {
        if (!restoring) keep({ sort: api.getColumnState().filter(({ sort }) => sort).map(({ colId, sort, sortIndex }) => ({ colId, sort, sortIndex })) });
      });
      const { search } = table().chosen;
      if (search) window.dash_clientside.set_props("runs-filter", { value: search });
    },
    draw: () => {
      drawChips();
      drawTools();
    },
  };
})();
