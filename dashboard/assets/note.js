// A run's note: saved where typing pauses, its field is left, a button is pressed or the page goes. What could not be
// saved is said, kept as long as the page is open, and tried again.
(() => {
  const PAUSE_MS = 1500;
  const AGAIN_MS = 2500;
  const ANSWER_MS = 10_000;
  const WAITING = "Not saved yet.";
  const LOST = "Not saved: the server does not answer. Trying again …";
  const unsaved = new Map(); // run -> { text, version of the note that it was made from, timer, whether saving has failed }
  let last = Promise.resolve(); // one save after the other: each begins from what the one before has made

  const cardOf = (run) => [...document.querySelectorAll("[data-note]")].find(({ dataset }) => dataset.note === run);
  const part = (id) => document.getElementById(id);
  const say = (run, told) => {
    if (cardOf(run)) part("note-state").textContent = told;
  };
  const showOther = (run, text) => {
    if (!cardOf(run)) return;
    part("note-other").hidden = text === undefined;
    part("note-other-text").textContent = text === undefined ? "" : text || "(deleted)";
  };

  const send = async (run) => {
    const draft = unsaved.get(run);
    if (!draft) return;
    const { text, version } = draft;
    clearTimeout(draft.timer);
    try {
      const asked = `note?${new URLSearchParams({ name: run, version })}`;
      const answer = await fetch(asked, { method: "POST", body: text, keepalive: true, signal: AbortSignal.timeout(ANSWER_MS) });
      taken(run, draft, text, answer.ok, await answer.json());
    } catch {
      draft.failed = true;
      draft.timer = setTimeout(save, AGAIN_MS, run);
      say(run, LOST);
    }
  };
  const save = (run) => (last = last.then(() => send(run)));

  const taken = (run, draft, text, saved, { told, version, text: other }) => {
    draft.failed = !saved;
    draft.other = saved || other === undefined ? null : { text: other, version };
    showOther(run, draft.other?.text);
    say(run, saved && draft.text !== text ? WAITING : told);
    if (!saved) return;
    draft.version = version;
    if (cardOf(run)) cardOf(run).dataset.version = version;
    if (draft.text === text) unsaved.delete(run);
  };

  const typed = (card, text) => {
    const run = card.dataset.note;
    const draft = unsaved.get(run) || { version: card.dataset.version };
    clearTimeout(draft.timer);
    unsaved.set(run, Object.assign(draft, { text, timer: setTimeout(save, PAUSE_MS, run) }));
    say(run, WAITING);
  };

  const press = (button, run) => {
    const draft = unsaved.get(run);
    if (button === "save-note" && !draft) say(run, "Saved.");
    if (button === "note-theirs" && draft?.other) {
      clearTimeout(draft.timer);
      window.dash_clientside.set_props("note", { value: draft.other.text });
      cardOf(run).dataset.version = draft.other.version;
      unsaved.delete(run);
      showOther(run);
      say(run, "");
    } else if (draft) {
      if (button === "note-mine" && draft.other) draft.version = draft.other.version;
      save(run);
    }
  };

  document.addEventListener("input", ({ target }) => {
    if (target.id === "note") typed(target.closest("[data-note]"), target.value);
  });
  document.addEventListener("focusout", ({ target }) => {
    if (target.id === "note") save(target.closest("[data-note]").dataset.note);
  });
  document.addEventListener("click", ({ target }) => {
    if (["save-note", "note-mine", "note-theirs"].includes(target.id)) press(target.id, target.closest("[data-note]").dataset.note);
  });
  document.addEventListener("visibilitychange", () => { if (document.hidden) [...unsaved.keys()].forEach(save); });
  window.addEventListener("pagehide", () => [...unsaved.keys()].forEach(send)); // no time to wait for one another
  window.addEventListener("beforeunload", (event) => {
    if ([...unsaved.values()].some(({ failed }) => failed)) event.preventDefault();
  });
})();
