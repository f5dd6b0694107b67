"""From files to data: tables and their record, bibliography, PubMed."""
