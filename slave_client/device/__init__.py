"""The PBX's own device: it certifies releases of its licenses as soon as the master asks (rule L2).

Here belongs the client's use of the device's key. The key itself is `licensemaster/signing/device_key.py`.
"""
