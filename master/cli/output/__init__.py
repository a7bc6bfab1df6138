"""How answers and failures are shown: tables for people, JSON for programs, CSV for spreadsheets, documents as files.

Here belongs what every command writes alike. What one command alone shows stays with it.
"""
