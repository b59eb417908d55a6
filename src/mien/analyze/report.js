(function () {
  "use strict";
  function all(selector, root) { return Array.prototype.slice.call((root || document).querySelectorAll(selector)); }
  // Paper shows what is folded away on screen.
  window.addEventListener("beforeprint", function () { all("details").forEach(function (one) { one.open = true; }); });
  var field = document.getElementById("find");
  if (field) {
    var files = all(".file"), said = field.parentNode.querySelector("[role=status]");
    field.addEventListener("input", function () {
      var wanted = field.value.trim().toLowerCase(), met = 0;
      files.forEach(function (file) {
        file.hidden = file.dataset.name.toLowerCase().indexOf(wanted) < 0;
        met += file.hidden ? 0 : 1;
      });
      said.textContent = wanted ? met + (met === 1 ? " place" : " places") : "";
    });
    field.parentNode.hidden = false;
  }
  var bar = document.querySelector(".filter");
  if (!bar) { return; }
  var buttons = all("button", bar), cards = all(".card"), items = all(".item");
  function show(emotion) {
    cards.forEach(function (card) { card.hidden = emotion !== "" && card.dataset.emotion !== emotion; });
    items.forEach(function (item) { item.hidden = item.querySelector(".card:not([hidden])") === null; });
    buttons.forEach(function (button) { button.setAttribute("aria-pressed", String(button.value === emotion)); });
  }
  buttons.forEach(function (button) { button.addEventListener("click", function () { show(button.value); }); });
  bar.hidden = false;
}());
