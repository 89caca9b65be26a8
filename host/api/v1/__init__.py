"""/api/v1/rest.php: the contract that VoIP.ms clients rely on."""
