"""A column of text becomes a table of its own, in one transaction."""

import django.db.models.deletion
from django.db import migrations, models


def split(apps, _editor):
    author, book = apps.get_model("shelf", "Author"), apps.get_model("shelf", "Book")
    for one in book.objects.order_by("id"):
        one.writer, _ = author.objects.get_or_create(name=one.author)
        one.save()


def join(apps, _editor):
    for one in apps.get_model("shelf", "Book").objects.select_related("writer"):
        one.author = one.writer.name
        one.save()


class Migration(migrations.Migration):
    dependencies = [("shelf", "0002_slug")]
    operations = [
        migrations.CreateModel(
            "Author",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=60, unique=True)),
            ],
        ),
        migrations.CreateModel(
            "Genre",
            [("id", models.BigAutoField(primary_key=True, serialize=False)), ("label", models.SlugField())],
        ),
        migrations.AddField("Book", "genres", models.ManyToManyField("shelf.Genre")),
        migrations.AddField(
            "Book",
            "writer",
            models.ForeignKey(
                "shelf.Author",
                null=True,
                db_constraint=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="books",
            ),
        ),
        migrations.AlterField("Book", "author", models.CharField(max_length=60, default="")),
        migrations.RunPython(split, join),
        migrations.RemoveField("Book", "author"),
        migrations.RenameField("Book", "writer", "author"),
        migrations.AlterField(
            "Book",
            "author",
            models.ForeignKey("shelf.Author", on_delete=django.db.models.deletion.CASCADE, related_name="books"),
        ),
    ]
