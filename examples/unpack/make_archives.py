"""Makes three archives: `python3 make_archives.py`."""

import zipfile


def archive(name, entries):
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as made:
        for path, text in entries.items():
            made.writestr(path, text)


archive("good.zip", {"catalogue/tea.csv": "name,price\nAssam,4\n", "catalogue/notes.txt": "prices of May\n"})
archive("bomb.zip", {"catalogue/tea.csv": "name,price\nAssam,4\n", "catalogue/zeros.bin": bytes(200_000_000)})
archive("slip.zip", {"catalogue/tea.csv": "name,price\nAssam,4\n", "../../.profile": "echo owned\n"})
