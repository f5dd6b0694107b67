"""What readers see: tables, figures, the page, and all of it written to a directory."""
