"""Accounts, DIDs, POPs, destinations, routes and carriers."""
