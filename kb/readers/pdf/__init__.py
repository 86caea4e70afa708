"""PDF: words from PDFium, then tables, columns, lines, headings and paragraphs."""
