// The theme wraps tables when the page is there: what scrolls is reached by keyboard too.
addEventListener("load", () => setTimeout(() => {
  for (const one of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code")) one.tabIndex = 0;
}));
