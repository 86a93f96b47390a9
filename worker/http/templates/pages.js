"use strict";
// The pages work without this script: it adds buttons that copy a command, and refreshes a page in place, so that a
// selection, the focus and what was unfolded stay.
(() => {
  const live = () => document.querySelectorAll("[data-live]");

  if (navigator.clipboard) {
    document.documentElement.classList.add("copies");
    document.addEventListener("click", async (event) => {
      const button = event.target.closest("button.copy");
      if (!button) return;
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  const seconds = Number(document.body.dataset.refresh);
  if (!seconds) return;
  const shown = new Map([...live()].map((region) => [region.id, region.innerHTML]));
  const offline = document.getElementById("offline");

  const isInUse = (region) => {
    const selection = getSelection();
    return region.contains(document.activeElement) || (!selection.isCollapsed && selection.containsNode(region, true));
  };

  const replace = (region, fresh) => {
    if (shown.get(region.id) === fresh.innerHTML || isInUse(region)) return;
    shown.set(region.id, fresh.innerHTML);
    for (const details of region.querySelectorAll("details[id]")) {
      const same = fresh.querySelector(`#${details.id}`);
      if (same) same.open = details.open;
    }
    region.replaceChildren(...fresh.childNodes);
  };

  const refresh = async () => {
    if (document.hidden) return;
    try {
      const response = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(seconds * 1000) });
      if (!response.ok) throw new Error(`the worker answered with status ${response.status}`);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const region of live()) {
        const fresh = page.getElementById(region.id);
        if (fresh) replace(region, fresh);
      }
      document.title = page.title;
      document.getElementById("icon").href = page.getElementById("icon").getAttribute("href");
      offline.hidden = true;
    } catch (error) {
      if (offline.hidden) {
        const time = new Date().toISOString().slice(11, 19);
        offline.textContent = `Not refreshed since ${time} UTC: the worker has stopped, or cannot be reached. The page shows its last known state.`;
        offline.hidden = false;
        document.title = `Not refreshed · ${document.title}`;
      }
    }
  };

  setInterval(refresh, seconds * 1000);
  document.addEventListener("visibilitychange", refresh);
})();
