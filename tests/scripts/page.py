"""A page of the report as a test reads it."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np


class Page(HTMLParser):
    """What a browser would make of the page: its tags with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.source, self.tags, self.text, self.open, self.strays = page, [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.strays.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(" ".join(data.split()))

    def words(self):
        return " ".join(text for text in self.text if text)

    def attributes(self, name):
        return [found[name] for _, found in self.tags if name in found]

    def numbers(self):
        """The texts of the study numbers at the top."""
        boxes = self.source.split('<div class="number">')[1:]
        return [Page(f"<div>{box.split('</div>')[0]}</div>").words() for box in boxes]

    def cards(self):
        """The source of each slide's card."""
        cards = [part.split("</figure>\n</div>")[0] for part in self.source.split('"card"')[1:]]
        return {re.search("<h3>(.*?)</h3>", card).group(1): card for card in cards}


def decode(source):
    """An embedded picture as RGB (h, w, 3) int."""
    pixels = base64.b64decode(source.removeprefix("data:image/webp;base64,"))
    return cv2.imdecode(np.frombuffer(pixels, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
