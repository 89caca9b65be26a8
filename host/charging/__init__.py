"""Rating, ledger, quotas. Knows neither SIP nor IAX2 nor the event loop."""
