"""HTTP filters: what happens to a request between its route and its upstream. [4]"""
