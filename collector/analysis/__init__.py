"""What can be asked of series over time: periods, shares, ranks, comparisons and growth. Pure, without I/O.

words.py       the words of a request, and which of them go together
periods.py     hours, days, weeks, months, quarters and years in UTC
refusals.py    which requests cannot be answered truthfully, with the reason and the nearest one that can
columns.py     the values of one series by period, and what is derived from them
cells.py       the columns of an answer, and why a cell of them is empty
within.py    the series with one value of a filter
shift.py       the range that another one is compared with
distribution.py  median, percentile and extremes of values
"""
