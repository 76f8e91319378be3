def find_outside(ranges, number):
    return next((r.outside + number for r in ranges if r.inside <= number < r.inside + r.count), None)


def find_inside(ranges, number):
    return next((number - r.outside for r in ranges if r.outside <= number < r.outside + r.count), None)
