"""The small authority that issues certificates, in a folder that one program at a time changes.

Here belongs what `license-master pki` does. How a certificate is judged does not: that is `certificates`.
"""
