// A run's note: saved where typing pauses, its field is left, a button is pressed or the page goes. What could not be
// saved is said, kept as long as the browser's page is open, and tried again.
(() => {
  const PAUSE_MS = 1500;
  const AGAIN_MS = 2500;
  const ANSWER_MS = 10_000;
  const WAITING = "Not saved yet.";
  const LOST = "Not saved: the server does not answer. Trying again …";
  const BUTTONS = ["save-note", "note-mine", "note-theirs"];
  // The part of the page that holds the field -> { text, version of the note that it was made from, timer, failed, other }
  const unsaved = new Map();
  let last = Promise.resolve(); // one save after the other: each begins from what the one before has made

  const cardOf = (target) => target.closest("[data-note]");
  const say = (card, told) => (card.querySelector("#note-state").textContent = told);
  const showOther = (card, other) => {
    card.querySelector("#note-other").hidden = !other;
    card.querySelector("#note-other-text").textContent = other ? other.text || "(deleted)" : "";
  };

  const send = async (card) => {
    const draft = unsaved.get(card);
    if (!draft) return;
    const { text, version } = draft;
    clearTimeout(draft.timer);
    try {
      const asked = `note?${new URLSearchParams({ name: card.dataset.note, version })}`;
      const answer = await fetch(asked, { method: "POST", body: text, keepalive: true, signal: AbortSignal.timeout(ANSWER_MS) });
      take(card, draft, text, answer.ok, await answer.json());
    } catch {
      draft.failed = true;
      draft.timer = setTimeout(save, AGAIN_MS, card);
      say(card, LOST);
    }
  };
  const save = (card) => (last = last.then(() => send(card)));

  const take = (card, draft, text, saved, { told, version, text: other }) => {
    draft.failed = !saved;
    draft.other = saved || other === undefined ? null : { text: other, version };
    showOther(card, draft.other);
    say(card, saved && draft.text !== text ? WAITING : told);
    if (!saved) return;
    draft.version = card.dataset.version = version;
    if (draft.text === text) unsaved.delete(card);
  };

  const typed = (card, text) => {
    const draft = unsaved.get(card) || { version: card.dataset.version };
    clearTimeout(draft.timer);
    unsaved.set(card, Object.assign(draft, { text, timer: setTimeout(save, PAUSE_MS, card) }));
    say(card, WAITING);
  };

  const takeOther = (card, { timer, other }) => {
    clearTimeout(timer);
    unsaved.delete(card);
    card.dataset.version = other.version;
    window.dash_clientside.set_props("note", { value: other.text });
    showOther(card, null);
    say(card, "");
  };

  const press = (button, card) => {
    const draft = unsaved.get(card);
    if (!draft) return button === "save-note" ? say(card, "Saved.") : undefined;
    if (button === "note-theirs" && draft.other) return takeOther(card, draft);
    if (button === "note-mine" && draft.other) draft.version = draft.other.version;
    return save(card);
  };

  document.addEventListener("input", ({ target }) => { if (target.id === "note") typed(cardOf(target), target.value); });
  document.addEventListener("focusout", ({ target }) => { if (target.id === "note") save(cardOf(target)); });
  document.addEventListener("click", ({ target }) => { if (BUTTONS.includes(target.id)) press(target.id, cardOf(target)); });
  document.addEventListener("visibilitychange", () => { if (document.hidden) [...unsaved.keys()].forEach(save); });
  window.addEventListener("pagehide", () => [...unsaved.keys()].forEach(send)); // no time to wait for one another
  window.addEventListener("beforeunload", (event) => {
    if ([...unsaved.values()].some(({ failed }) => failed)) event.preventDefault();
  });
})();
