"""One class per architecture, and the table ARCHES."""
