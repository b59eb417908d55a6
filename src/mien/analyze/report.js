(function () {
  "use strict";
  var bar = document.querySelector(".filter");
  if (!bar) { return; }
  var buttons = Array.prototype.slice.call(bar.querySelectorAll("button"));
  var cards = Array.prototype.slice.call(document.querySelectorAll(".card"));
  var items = Array.prototype.slice.call(document.querySelectorAll(".item"));
  function show(emotion) {
    cards.forEach(function (card) { card.hidden = emotion !== "" && card.dataset.emotion !== emotion; });
    items.forEach(function (item) { item.hidden = item.querySelector(".card:not([hidden])") === null; });
    buttons.forEach(function (button) { button.setAttribute("aria-pressed", String(button.value === emotion)); });
  }
  buttons.forEach(function (button) { button.addEventListener("click", function () { show(button.value); }); });
  bar.hidden = false;
}());
