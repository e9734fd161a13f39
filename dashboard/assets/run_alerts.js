// Alerts of the open run: a note on the page, and the browser's own if a person has asked for them.
(() => {
  const LONGEST_MS = 60_000; // on the page; a note that is pointed at or focused stays

  const show = ({ title, summary }) => {
    const toast = document.createElement("div");
    toast.className = "toast";
    const [head, text, close] = ["strong", "p", "button"].map((kind) => document.createElement(kind));
    head.textContent = `New: ${title}`;
    text.textContent = summary;
    close.type = "button";
    close.className = "toast-close";
    close.textContent = "Dismiss";
    close.addEventListener("click", () => toast.remove());
    toast.append(head, text, close);
    document.getElementById("toasts")?.append(toast);
    const leave = () => (toast.matches(":hover, :focus-within") ? setTimeout(leave, 5000) : toast.remove());
    setTimeout(leave, LONGEST_MS);
  };

  const notify = (run, { id, title, summary }) => {
    try {
      new window.Notification(`${run}: ${title}`, { body: summary, tag: `${run} ${id}` });
    } catch { /* telephones allow it to service workers alone: the page has told */ }
  };

  const may = () => (window.Notification ? window.Notification.permission : "unsupported");

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    alerts: {
      tell: (now, known) => {
        const { no_update } = window.dash_clientside;
        if (!now) return [no_update, no_update];
        const fresh = known ? now.findings.filter(({ id }) => !known.includes(id)) : [];
        for (const finding of fresh) {
          show(finding);
          if (may() === "granted") notify(now.run, finding);
        }
        const seen = [...new Set([...(known || []), ...now.findings.map(({ id }) => id)])];
        return [seen, now.live && may() === "default" ? {} : { display: "none" }];
      },
      ask: (clicks) => {
        if (!clicks) return window.dash_clientside.no_update;
        return window.Notification.requestPermission().then((answer) => {
          window.dash_clientside.set_props("notify-me", { style: { display: answer === "default" ? "" : "none" } });
          const told = { granted: "This browser will tell you.", denied: "The browser does not allow it; the page tells you." };
          return told[answer] || "";
        });
      },
    },
  });
})();
