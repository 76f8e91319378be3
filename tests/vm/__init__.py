"""Where the tests of tier 2 run for anybody: in small virtual machines, without root; `python3 noxfile.py vm`."""
