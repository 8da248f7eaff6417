"""Forms: headers, differences and findings as text.

Files: kernel_text (the kernel's own form; start-up counts there), tables (the file that knows tabulate),
as_json, as_sarif, views (what the commands print).
Above judge: imports that and what is below.
Start reading at views.py.
"""
