"""The host's IAX2 side: shells over `firmware.wire.iax2`, beside those of SIP."""
