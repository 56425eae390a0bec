// Keeps a page as it is now: asks the server for the same page once there is news, and puts the cards
// that changed in the place of the old ones. Without it the page is complete, as of when it was made.
"use strict";

(() => {
  const main = document.querySelector("main[data-live]");
  const said = document.getElementById("live");
  if (!main || !said) return;
  const say = (text) => { said.textContent = text; };
  const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  const seen = () => document.hidden
    ? new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }))
    : Promise.resolve();

  // Another card with the same content is the same card: whoever reads in it is not disturbed.
  const take = (fresh) => {
    const cards = [...fresh.querySelectorAll("[data-part]")];
    const known = [...main.querySelectorAll("[data-part]")];
    const same = cards.length === known.length && cards.every((card, at) => card.id === known[at].id);
    const title = fresh.querySelector(".title");
    const old = main.querySelector(".title");
    if (!same || !title || !old) {
      location.reload();
      return false;
    }
    if (title.innerHTML !== old.innerHTML && !old.contains(document.activeElement)) {
      old.replaceWith(document.adoptNode(title));
    }
    let changed = false;
    cards.forEach((card, at) => {
      const was = known[at];
      if (card.innerHTML === was.innerHTML || was.contains(document.activeElement)) return;
      was.querySelectorAll("details").forEach((details, place) => {
        const other = card.querySelectorAll("details")[place];
        if (other) other.open = details.open;
      });
      card.classList.add("changed");
      was.replaceWith(document.adoptNode(card));
      changed = true;
    });
    main.dataset.live = fresh.dataset.live;
    return changed;
  };

  const follow = async () => {
    let failures = 0;
    say("Live: it changes by itself.");
    for (;;) {
      await seen();
      const [path, query] = main.dataset.live.split("?");
      const began = Date.now();
      try {
        const answer = await fetch(query ? `${path}?${query}` : path, {
          headers: { accept: "text/html" }, credentials: "same-origin", redirect: "error",
        });
        if (answer.status === 401 || answer.status === 403) {
          say("Not live any more: the sign-in has ended. Load the page again.");
          return;
        }
        if (!answer.ok) throw new Error(String(answer.status));
        if (answer.status === 200) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          const fresh = page.querySelector("main[data-live]");
          if (!fresh) throw new Error("another page");
          if (take(fresh)) say(`Live. It changed at ${new Date().toISOString().slice(11, 19)} UTC.`);
        }
        failures = 0;
      } catch {
        failures += 1;
        say("Not live at the moment: the server does not answer. It is asked again.");
      }
      // A page that does not wait for news is asked for every now and then.
      const least = failures ? Math.min(60, 2 ** failures) * 1000 : query ? 1000 : 30000;
      await pause(Math.max(0, least - (Date.now() - began)));
      if (!failures && said.textContent.startsWith("Not live")) say("Live: it changes by itself.");
    }
  };
  follow();
})();
