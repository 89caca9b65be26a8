"""Tones, levels and DTMF."""
