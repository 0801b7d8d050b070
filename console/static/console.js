// Live pages without a framework: when the server says that the page has changed, its live content is fetched and
// replaced. Without this script every page works and is as fresh as its last load.
"use strict";

const live = document.getElementById("live");

function enhance(root) {
  for (const button of root.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
    });
  }
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.status === 404) return location.reload();
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const next = page.getElementById("live");
  if (!next || live.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return;
  const open = [...live.querySelectorAll("details")].map((each) => each.open);
  live.replaceChildren(...next.childNodes);
  live.dataset.digest = next.dataset.digest;
  live.querySelectorAll("details").forEach((each, index) => { each.open = open[index] || false; });
  enhance(live);
}

enhance(document);
if (live && live.firstElementChild && window.EventSource) {
  const url = new URL(location.href);
  url.searchParams.set("watch", live.dataset.digest);
  const events = new EventSource(url);
  events.onmessage = refresh;
  window.addEventListener("pagehide", () => events.close());
}
const error = document.getElementById("first-error");
if (error) error.scrollIntoView({ block: "center" });
