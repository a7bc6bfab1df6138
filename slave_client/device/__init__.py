"""The PBX's own device: it certifies releases of its licenses as soon as the master asks (rule L2).

Here belongs what is done with the device's key by the client. The key itself is `licensemaster/signing/device_key.py`.
"""
