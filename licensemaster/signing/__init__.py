"""What is signed, and by whom: signatures, documents, the signed lease, and the key of a device.

Here belongs what master, client and vendor must do alike to sign and to verify. Whose key is trusted does not: the
master keeps that per project.
"""
