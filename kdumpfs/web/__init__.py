"""`kdumpfs web`: a page with the machine live on it.

files.py reaches a machine through its files, in this process or below a mount; state.py makes of them what the page
draws; steps.py does what is clicked, and keeps each step; server.py serves that on one address, guard.py says to whom;
export.py writes it as one file. page/ is the page: ES modules, no build step. The machine's own files are the only model.
"""
