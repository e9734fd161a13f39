// What a link to the table of runs holds beside what is chosen above it: the columns that are shown or hidden, what is
// sorted by, and the columns' own filters.
(() => {
  const parts = () => new URLSearchParams(window.location.search);
  const put = (query) => {
    if (!document.getElementById("runs-grid")) return;
    const address = window.location.pathname + (query.size ? `?${query}` : "");
    if (address !== window.location.pathname + window.location.search) window.history.replaceState(window.history.state, "", address);
  };
  const list = (query, name, values) => {
    query.delete(name);
    for (const value of values) query.append(name, value);
  };
  const sorted = (told) => {
    const [, colId, sort] = /^(.+):(asc|desc)$/.exec(told) || [];
    return colId ? [{ colId, sort }] : [];
  };
  const filters = () => {
    try { return Object.entries(JSON.parse(parts().get("filter")) || {}); } catch { return []; }
  };

  window.runsLink = {
    // A link that tells columns tells all of them; one that tells none leaves them to the person who opens it.
    read: () => {
      const query = parts();
      const [hidden, shown] = [query.getAll("hidden"), query.getAll("shown")];
      const sort = query.getAll("sort").flatMap(sorted).map((one, sortIndex) => ({ ...one, sortIndex }));
      return { ...(hidden.length || shown.length ? { hidden, shown } : {}), ...(sort.length ? { sort } : {}) };
    },
    write: ({ hidden, shown, sort }) => {
      const query = parts();
      list(query, "hidden", hidden);
      list(query, "shown", shown);
      list(query, "sort", sort.map((one) => `${one.colId}:${one.sort}`));
      put(query);
    },
    startFilters: (api) => {
      const known = new Set(api.getColumns().map((column) => column.getColId()));
      const wanted = filters().filter(([id]) => known.has(id));
      if (wanted.length) api.setFilterModel(Object.fromEntries(wanted));
      api.addEventListener("filterChanged", () => {
        const [query, model] = [parts(), api.getFilterModel()];
        list(query, "filter", Object.keys(model).length ? [JSON.stringify(model)] : []);
        put(query);
      });
    },
  };
})();
