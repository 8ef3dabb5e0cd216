use super::table;

#[test]
fn the_examples_of_the_specification() {
    table(&[
        ("date_cast('2031-05-14T06:45:12.250Z')", "1936507512250"),
        ("date_cast('14.05.2031', 'DD.MM.YYYY')", "1936483200000"),
        ("date_trunc('2031-05-14T06:45:12.250Z', 'day')", "\"2031-05-14T00:00:00+00:00\""),
        ("date_trunc(1936507512250, 'day')", "1936483200000"),
        ("date_part('2031-05-14T06:45:12Z', 'weekday')", "3"),
        ("date_diff('2031-05-20T01:00:00Z', '2031-05-14T06:45:12Z', 'day')", "5"),
        ("duration_cast('1h30m')", "5400000"),
        ("date_part('2031-05-14', 'day')", "MISSING"),
        ("date_part('2031-05-14T06:45:12', 'day')", "MISSING"),
        ("date_add('day', '2031-05-14T06:45:12Z', 1)", "MISSING"),
    ]);
}

#[test]
fn text_gives_text_and_numbers_give_numbers() {
    table(&[
        ("date_add('2031-01-31T10:00:00+02:00', 'month', 1)", "\"2031-02-28T10:00:00+02:00\""),
        ("date_sub(1936507512250, 'ms', 250)", "1936507512000"),
        ("date_add(0, 'day', 1, '')", "\"1970-01-02T00:00:00+00:00\""),
        ("date_add(0, 'day', 1, 'YYYY/MM/DD')", "\"1970/01/02\""),
        ("date_add(0, 'day', 1.5)", "MISSING"),
        ("date_add(0, 'week', 1)", "MISSING"),
        ("date_add(9223372036854775807, 'day', 1)", "MISSING"),
        ("date_format('2031-05-14T06:45:12.250Z', '')", "\"2031-05-14T06:45:12.250+00:00\""),
        (
            "date_format('2031-05-14T06:45:12Z', 'DD.MM.YYYY hh:mm:ss.sss TZD')",
            "\"14.05.2031 06:45:12.000 +00:00\"",
        ),
        ("date_format('2031-05-14T06:45:12Z', '%Y-%m-%d')", "\"2031-05-14\""),
        ("date_format('2031-05-14T06:45:12Z', 'hh:mm', 'Europe/Berlin')", "\"08:45\""),
        ("date_format('2031-05-14T06:45:12Z', 'hh:mm TZD', '-03:30')", "\"03:15 -03:30\""),
        ("date_format(0, '', 'Nowhere/Else')", "MISSING"),
        ("date_trunc('2031-05-14T06:45:12+02:00', 'month')", "\"2031-05-01T00:00:00+02:00\""),
    ]);
}

#[test]
fn parts_and_differences() {
    table(&[
        ("date_part('2031-05-14T06:45:12.250Z', 'year')", "2031"),
        ("date_part('2031-05-14T06:45:12.250Z', 'mon')", "5"),
        ("date_part('2031-05-14T23:45:12+02:00', 'hour')", "23"),
        ("date_part('2031-05-14T06:45:12.250Z', 'millis')", "250"),
        ("date_part('2031-05-14T06:45:12.250Z', 'monthname')", "\"May\""),
        ("date_part('2031-05-14T06:45:12+02:00', 'tz')", "\"+02:00\""),
        ("date_part('2031-05-14T06:45:12Z', 'quarter')", "MISSING"),
        ("date_diff('2031-05-13T00:00:00Z', '2031-03-14T00:00:00Z', 'month')", "1"),
        ("date_diff('2030-05-14T00:00:00Z', '2031-05-14T00:00:00Z', 'year')", "-1"),
        ("date_diff(0, 3600000, 'min')", "-60"),
    ]);
}

#[test]
fn ranges_end_before_the_end() {
    table(&[
        ("date_range(0, 3, 'ms', 1)", "[0,1,2]"),
        ("date_range(3, 0, 'ms', -1)", "[3,2,1]"),
        ("date_range(0, 3, 'ms', 0)", "MISSING"),
        ("date_range(0, 0, 'ms', 1)", "[]"),
        ("array_length(date_range('2031-01-31T00:00:00Z', '2031-04-30T00:00:00Z', 'month', 1))", "3"),
        (
            "date_range('2031-01-31T00:00:00Z', '2031-04-01T00:00:00Z', 'month', 1, 'MM-DD')",
            "[\"01-31\",\"02-28\",\"03-31\"]",
        ),
        ("date_range(0, 9000000000000, 'ms', 1)", "MISSING"),
    ]);
}

#[test]
fn clocks_zones_and_durations() {
    table(&[
        ("clock()", "1936526400000"),
        ("clock('')", "\"2031-05-14T12:00:00+00:00\""),
        ("clock('hh', 'Asia/Tokyo')", "\"21\""),
        ("tz_offset('2031-05-14T06:45:12-03:30')", "-210"),
        ("tz_offset('Europe/Berlin', 'TZN')", "120"),
        ("duration_cast('1s')", "1000"),
        ("duration_cast('90m', 'hour')", "1.5"),
        ("duration_cast('-1.5s')", "-1500"),
        ("duration_cast('1x')", "MISSING"),
        ("duration_cast('')", "MISSING"),
        ("duration_format(5400000)", "\"1h30m0s\""),
        ("duration_format(90, 's')", "\"1m30s\""),
        ("duration_format(1500)", "\"1.5s\""),
        ("duration_format(250)", "\"250ms\""),
        ("duration_format(0)", "\"0s\""),
    ]);
}
