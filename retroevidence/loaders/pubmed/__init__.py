"""PubMed: asked politely, read safely, kept in a store."""
