"""Forms: headers, differences and findings as text.

Files: print_views, diff_views, check_views (what a command prints), kernel_text with hex_columns (the kernel's own form; start-up
counts there), columns (of -o), tables (the file that knows tabulate), as_json, as_sarif, colours.
Above judge: imports that and what is below.
Start reading at print_views.print_pieces().
"""
