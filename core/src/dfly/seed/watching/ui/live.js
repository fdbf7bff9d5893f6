"use strict";
// Puts what the seed peer has drawn where it belongs. Whatever is in it was escaped there.
const state = document.getElementById("state");
const tasks = document.getElementById("tasks");
// What somebody has scrolled, or moved to with the keyboard, stays where it is.
const redraw = (section, html) => {
  const before = section.querySelector(".scroll");
  const [left, focused] = [before?.scrollLeft ?? 0, before && before === document.activeElement];
  section.innerHTML = html;
  const after = section.querySelector(".scroll");
  if (after) after.scrollLeft = left;
  if (focused) after?.focus({ preventScroll: true });
};
const news = new EventSource("/ui/events");
news.addEventListener("picture", (event) => {
  const { order, drawn } = JSON.parse(event.data);
  document.getElementById("totals").innerHTML = drawn.totals ?? document.getElementById("totals").innerHTML;
  for (const old of [...tasks.children]) if (!order.includes(old.id)) old.remove();
  order.forEach((id, place) => {
    let section = document.getElementById(id);
    if (!section) {
      section = document.createElement("section");
      section.id = id;
    }
    if (id in drawn) redraw(section, drawn[id]);
    if (tasks.children[place] !== section) tasks.insertBefore(section, tasks.children[place] ?? null);
  });
  state.textContent = "live";
});
news.addEventListener("error", () => { state.textContent = "not connected; trying again"; });
