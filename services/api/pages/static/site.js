// A page that lives: where something changed, it is asked for again, and what differs is put in place.
// Without this script the page is whole as well, and asks for itself again now and then.
"use strict";
(() => {
  const AT_MOST_EVERY_MS = 1000;
  const LAST_AGAIN_MS = 3000;
  let asking = false;
  let wanted = false;
  let last = -Infinity;

  // What people did to the page stays: what is focused or typed, what is open, what plays.
  const KEPT = { DETAILS: ["open"], DIALOG: ["open"], INPUT: ["value", "checked"], TEXTAREA: ["value"] };

  const samePlace = (a, b) => a.split("?")[0] === b.split("?")[0];

  function attributes(old, fresh) {
    const kept = KEPT[old.nodeName] || [];
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (kept.includes(name) || old.getAttribute(name) === value) continue;
      // A link to the same file with a new signature: what is loaded stays.
      if (name === "src" && old.hasAttribute("src") && samePlace(old.getAttribute("src"), value)) continue;
      old.setAttribute(name, value);
    }
  }

  function children(old, fresh) {
    const keyed = new Map([...old.children].filter((one) => one.id).map((one) => [one.id, one]));
    const stays = new Set([...fresh.children].filter((one) => one.id).map((one) => one.id));
    let here = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const known = next.id ? keyed.get(next.id) : null;
      // What is gone goes before anything is moved: what is moved loses its focus, or falls silent.
      while (known && here && here !== known && !stays.has(here.id)) {
        const behind = here.nextSibling;
        here.remove();
        here = behind;
      }
      if (known && known !== here) {
        old.insertBefore(known, here);
        here = known;
      }
      const fits = here && here.nodeType === next.nodeType && here.nodeName === next.nodeName
        && (here.id || "") === (next.id || "");
      if (!fits) {
        old.insertBefore(document.importNode(next, true), here);
        continue;
      }
      const behind = here.nextSibling;
      morph(here, next);
      here = behind;
    }
    while (here) {
      const behind = here.nextSibling;
      here.remove();
      here = behind;
    }
  }

  function morph(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) {
      old.nodeValue = fresh.nodeValue;
      return;
    }
    attributes(old, fresh);
    children(old, fresh);
  }

  async function renew() {
    if (asking) {
      wanted = true;
      return;
    }
    asking = true;
    try {
      const wait = last + AT_MOST_EVERY_MS - performance.now();
      if (wait > 0) await new Promise((done) => setTimeout(done, wait));
      last = performance.now();
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      // Somebody has to log in again, or what the page is about was deleted: the whole page says so.
      if (answer.redirected || [404, 410].includes(answer.status)) return location.reload();
      if (!answer.ok && !document.querySelector("[data-refresh]")) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const parts = [...document.querySelectorAll("[data-part]")];
      if (!parts.length && answer.ok) return location.reload();
      for (const old of parts) {
        const next = fresh.querySelector(`[data-part="${CSS.escape(old.dataset.part)}"]`);
        if (next) morph(old, next);
      }
    } catch {
      // Away for a moment: the next change, or the next turn, asks again.
    } finally {
      asking = false;
      if (wanted) {
        wanted = false;
        renew();
      }
    }
  }

  // Behind the last word nothing comes that would make us look again: until a look was answered with
  // a page that lives no more, we do so ourselves.
  async function end() {
    await renew();
    if (document.querySelector("[data-live]")) setTimeout(end, LAST_AGAIN_MS);
  }

  function listen(url) {
    const source = new EventSource(url);
    for (const kind of ["snapshot", "change"]) source.addEventListener(kind, renew);
    source.addEventListener("end", () => {
      source.close();
      end();
    });
    // A ticket lives for minutes: when the line is refused, a fresh page has a fresh one, and what
    // is open or plays stays as it is.
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(async () => {
        await renew();
        const still = document.querySelector("[data-live]");
        if (still) listen(still.dataset.live);
      }, 5000);
    });
  }

  // What is said once is not said again by a reload.
  const here = new URL(location.href);
  if (here.searchParams.has("said")) {
    for (const word of ["said", "count"]) here.searchParams.delete(word);
    history.replaceState(history.state, "", here);
  }

  // A form that tells what comes of what is typed: asked for while somebody types, files aside.
  function asks(form) {
    let wait = 0;
    form.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(async () => {
        const typed = new FormData(form);
        for (const [name, value] of [...typed]) if (value instanceof File) typed.delete(name);
        for (const [name, value] of new URLSearchParams(form.dataset.ask)) typed.set(name, value);
        try {
          const answer = await fetch(form.action, { method: "POST", body: typed });
          if (!answer.ok || answer.redirected) return;
          const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
          for (const old of form.querySelectorAll("[data-part]")) {
            const next = fresh.querySelector(`[data-part="${CSS.escape(old.dataset.part)}"]`);
            if (next) morph(old, next);
          }
        } catch {
          // It is told again with the form itself.
        }
      }, 400);
    });
    for (const needless of form.querySelectorAll("[data-scriptless]")) needless.hidden = true;
  }

  // A form that is sent once: the server makes one job of it however often it comes, and people see
  // that it is on its way.
  function once(form) {
    const button = form.querySelector("button:not([name])");
    const said = button.textContent;
    const ready = (is) => {
      button.disabled = !is;
      button.textContent = is ? said : form.dataset.once;
    };
    form.addEventListener("submit", () => setTimeout(() => ready(false)));
    window.addEventListener("pageshow", () => ready(true));
  }

  for (const form of document.querySelectorAll("form[data-ask]")) asks(form);
  for (const form of document.querySelectorAll("form[data-once]")) once(form);
  const problem = document.getElementById("problem");
  if (problem) problem.focus();

  const live = document.querySelector("[data-live]");
  if (live) listen(live.dataset.live);
  const timed = document.querySelector("[data-refresh]");
  if (timed) {
    setInterval(() => {
      if (document.visibilityState === "visible") renew();
    }, Math.max(1, Number(timed.dataset.refresh)) * 1000);
  }
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && (live || timed)) renew();
  });
})();
