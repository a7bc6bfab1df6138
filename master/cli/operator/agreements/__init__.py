"""Time that is bought: orders and their prices, seats by contract, what ends, a calendar.

Here belong the commands of AgreementService; a device's own are with `device`.
"""
