// Excerpts of the search page show a chapter's sentences, and code or tables only where the
// words stand nowhere else. Imports are never shown.
document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined") return;
  const summary = Search.makeSearchSummary;
  const imports = /^(from|import) [^\n(]*(\([^)]*\))?\n?/gm;
  Search.makeSearchSummary = (html, words, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const article = page.querySelector("article.bd-article");
    if (!article) return summary(html, words, anchor);
    const without = (what) => {
      const copy = article.cloneNode(true);
      copy.querySelectorAll(what).forEach((part) => part.remove());
      return copy;
    };
    const text = without(".headerlink, h1, .cell, table");
    const found = [...words].some((w) => text.textContent.toLowerCase().includes(w.toLowerCase()));
    const shown = found ? text : without(".headerlink, .cell.tag_set-up");
    shown.querySelectorAll("pre").forEach((code) => {
      code.textContent = code.textContent.replace(imports, "");
    });
    return summary(`<div role="main">${shown.innerHTML}</div>`, words, anchor);
  };
});
