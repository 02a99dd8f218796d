#!/usr/bin/env python3
"""Draws Hibiki Hall and writes it to hibiki-hall.json beside this script.

One unit is ten centimetres; the file has hundredths of it. The stage stands at the top, its front
edge is the focus. Rows are arcs around a point behind the stage, so that every seat faces it.
"""

import json
import math
import pathlib

IROHA = "いろはにほへとちりぬるをわかよたれそつねなら"
SEAT = 5.4  # between the middles of two seats
AISLE = 13.0  # across an aisle, likewise
BEHIND = 150.0  # from the focus back to the middle of the arcs


def arc(radius, blocks, pitch=SEAT):
    """Points along an arc, from left to right, with an aisle between blocks of so many seats."""
    steps = []
    for count in blocks:
        steps += [pitch] * (count - 1) + [AISLE]
    steps = steps[:-1]
    along = -sum(steps) / 2
    points, aisles = [], []
    for step in steps + [None]:
        angle = along / radius
        points.append((radius * math.sin(angle), radius * math.cos(angle) - BEHIND))
        aisles.append(step == AISLE)
        along += step or 0
    return list(zip(points, aisles))


def seat(floor, row, number, point, category, wheelchair=False, aisle=False):
    x, y = point
    made = {"id": f"{floor}-{row}-{number}", "number": str(number)}
    made |= {"x": round(x * 100), "y": round(y * 100), "category": category}
    if wheelchair:
        made["wheelchair"] = True
    if aisle:
        made["aisle_after"] = True
    return made


def rows(floor, names, first, pitch, blocks_of, category_of):
    """Rows of an arc each, numbered from the left."""
    made = []
    for index, name in enumerate(names):
        places = arc(first + index * pitch, blocks_of(index))
        seats = []
        for at, (point, aisle) in enumerate(places):
            edge = min(at, len(places) - 1 - at)
            seats.append(seat(floor, name, at + 1, point, category_of(index, edge), aisle=aisle))
        made.append({"name": name, "seats": seats})
    return made


def wheelchair_row(floor, radius, groups):
    """Wheelchair places (車) with the companion's seat (付) beside each."""
    places = arc(radius, [2] * groups, pitch=8.0)
    seats = []
    for at, (point, aisle) in enumerate(places):
        number = f"{'車' if at % 2 == 0 else '付'}{at // 2 + 1}"
        seats.append(seat(floor, "車椅子", number, point, "車椅子席", wheelchair=True, aisle=aisle))
    return {"name": "車椅子", "seats": seats}


def boxes(floor, count):
    """Boxes of four along both walls: two seats in front, two behind."""
    made = []
    for index in range(count):
        for side, sign in (("左", -1), ("右", 1)):
            name = f"{side}{index + 1}"
            seats = []
            for at in range(4):
                x = 131 + index * 5.5 + (at // 2) * 6.5
                y = 62 + index * 17 + (at % 2) * SEAT
                seats.append(seat(floor, name, at + 1, (sign * x, y), "S席", aisle=at == 1))
            made.append({"name": f"{name}番ボックス", "seats": seats})
    return made


def mezzanine_category(row, edge):
    if row < 2 and edge > 10:
        return "S席"
    return "A席" if row < 4 else "B席"


def stalls_category(row, edge):
    if row < 14:
        return "S席" if edge >= 6 else "A席"
    return "A席" if edge >= 5 else "B席"


stalls = rows(
    "1", IROHA[:20], BEHIND + 58, 9.0,
    lambda row: (6 + row // 3, 16 + row // 2, 6 + row // 3), stalls_category,
)
stalls.append(wheelchair_row("1", BEHIND + 58 + 20 * 9.0 + 4, 10))
mezzanine = rows(
    "2", IROHA[:8], BEHIND + 288, 9.5,
    lambda row: (11, 13, 13, 11), mezzanine_category,
)
mezzanine.append(wheelchair_row("2", BEHIND + 288 + 8 * 9.5 + 4, 4))
balcony = rows(
    "3", IROHA[:7], BEHIND + 408, 9.5,
    lambda row: (10, 10, 14, 10, 10), lambda row, edge: "B席" if row < 3 and edge >= 10 else "C席",
)
hall = {
    "name": "響ホール Hibiki Hall",
    "focus": {"x": 0, "y": 0},
    "sections": [
        {"name": "1階席 Stalls", "rows": stalls},
        {"name": "2階ボックス Boxes", "rows": boxes("2B", 9)},
        {"name": "2階席 Mezzanine", "rows": mezzanine},
        {"name": "3階席 Balcony", "rows": balcony},
    ],
    "pools": [{"id": "最前立見 Standing", "capacity": 300, "category": "立見"}],
}


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


lines = [f'{{"name":{compact(hall["name"])},"focus":{compact(hall["focus"])},"sections":[']
for at, section in enumerate(hall["sections"]):
    lines.append(f'{{"name":{compact(section["name"])},"rows":[')
    lines += [compact(row) + "," for row in section["rows"]]
    lines[-1] = lines[-1][:-1]
    lines.append("]}," if at + 1 < len(hall["sections"]) else "]}],")
lines.append(f'"pools":{compact(hall["pools"])}}}')
file = pathlib.Path(__file__).with_name("hibiki-hall.json")
file.write_text("\n".join(lines) + "\n", encoding="utf-8")
