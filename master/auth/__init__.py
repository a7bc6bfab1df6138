"""Who somebody is and what that lets them do; certificates, revocations, limits. Serving them is `master/rpc`."""
