"""`meshctl diagnose`: why one workload does not reach another.

`collector` looks, through the API server, sidecars' admin pages and the pods' network namespaces; everything
else is pure: `facts` is what was seen, the rules judge one layer each, `walk` names the first that fails.
"""
