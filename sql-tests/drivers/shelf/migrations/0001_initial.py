"""One table, as it began."""

from django.conf import settings
from django.db import migrations, models


def fill(apps, _editor):
    book = apps.get_model("shelf", "Book")
    book.objects.bulk_create(
        book(title=f"Title {number}", author=f"Author {number % 3}", pages=str(100 + number)) for number in range(10)
    )


class Migration(migrations.Migration):
    initial = True
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [
        migrations.CreateModel(
            "Book",
            [
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("title", models.CharField(max_length=80)),
                ("author", models.CharField(max_length=60)),
                ("pages", models.CharField(max_length=10, null=True)),
            ],
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
