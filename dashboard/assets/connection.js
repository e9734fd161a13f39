// Tells when the server does not answer, and goes on by itself when it does again.
(() => {
  const PERIOD_MS = 2500;
  const AGAIN_MS = 1000;
  const NEWS_MS = 4000;
  const ANSWER_MS = 6000; // a busy server takes a second or two; one that hangs would be waited for without end
  const LOST = "Connection lost, trying again …";
  const LOCKED = "The dashboard was started again with another token. Open the address that it printed then.";
  let trouble = false;
  let lastGood = window.location.href; // where the page was when the server last answered

  const say = (text, kind) => {
    const banner = document.getElementById("connection");
    if (!banner || banner.textContent === text) return;
    banner.textContent = text;
    banner.className = `connection connection-${kind}`;
  };

  const ask = async () => {
    try {
      const root = document.querySelector(".brand").href;
      const { ok, status } = await fetch(`${root}assets/mark.svg`, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
      if (ok) return "";
      return status === 403 ? LOCKED : LOST;
    } catch {
      return LOST;
    }
  };

  const look = async () => {
    if (document.hidden || !document.querySelector(".brand")) return;
    const problem = await ask();
    if (problem) {
      trouble = true;
      say(problem, "lost");
      return;
    }
    // What was asked for meanwhile got no answer, and the address holds it. All else refreshes by itself.
    if (trouble && window.location.href !== lastGood) window.location.reload();
    if (trouble) {
      say("Connected again.", "back");
      setTimeout(() => { if (!trouble) say("", "none"); }, NEWS_MS);
    }
    trouble = false;
    lastGood = window.location.href;
  };

  const goOn = async () => {
    await look();
    setTimeout(goOn, trouble ? AGAIN_MS : PERIOD_MS);
  };
  goOn();
  window.addEventListener("offline", look);
  window.addEventListener("online", look);
  document.addEventListener("visibilitychange", look);
})();
