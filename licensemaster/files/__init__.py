"""Files as people hand them in and as programs leave them: the one reader, the one writer, and locks on folders.

Here belongs how bytes come from a disk and get onto it, whole or not at all. What they mean does not: values are read
in `values`, certificates in `tls`, documents in `signing`.
"""
