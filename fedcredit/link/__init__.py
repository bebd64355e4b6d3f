"""An institution becomes reachable: certificates of the consortium, one encrypted link, and who may pass it."""
