def make_ranges(lent, *, first=0):
    ranges = []
    for start, count in lent:
        ranges.append(IdRange(first, start, count))
        first += count
    return tuple(ranges)
